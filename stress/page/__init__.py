"""`partway page`: two tables before the same crowd of slow clients, live in a browser, from the same files.

In the browser: `guests` are the clients, a `crowd` so many of each, a `scene` one table with its crowd, and `pair` two
scenes that keep the same time, which `worker.js` moves and `page.js` draws. On this side: `pyodide` finds the Python
that runs there, `parts` is what a browser is given, and `command` serves it.
"""
