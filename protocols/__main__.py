"""`python -m partway.protocols` is `partway`, for where scripts are not installed."""

import sys

from .command import main

sys.exit(main())
