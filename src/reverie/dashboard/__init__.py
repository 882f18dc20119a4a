"""The dashboard: one page that shows the runs of a folder while they train, and in which their dreams are played.

May import: `dreams`, `spaces`, `errors`; Starlette and Uvicorn, of the extra `dashboard`.

    serve     the process: where it listens
    app       its addresses
    security  who may ask, and for which files
    runs      the runs in a folder, and what they have measured
    play      a dream, played over a WebSocket
    wire      dreams in JSON's types
    static/   the page: HTML, CSS and JavaScript modules as they stand, without a build step
"""
