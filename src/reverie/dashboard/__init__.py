"""The dashboard: a web page that shows the runs in a folder while they train, and plays their dreams.

May import: `results`, `storage`, `dreams`, `spaces`, `errors`, `text`; Starlette and Uvicorn, of the extra `dashboard`.

    serve     the process: where it listens
    app       its routes
    security  which requests are answered, and which files they reach
    runs      the list of runs in a folder
    state     whether a run is live, finished, interrupted or has stopped responding
    groups    the settings in which runs differ, and which runs belong together
    metrics   metrics as they are written, and films
    play      a dream played over a WebSocket
    wire      dreams as JSON
    static/   the page: HTML, CSS and JavaScript modules, without a build step
"""
