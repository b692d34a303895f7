"""The scorecard: what slow clients get of many servers, side by side."""
