"""The same application on gevent's own server: gevent_app.py PORT."""

import sys

from gevent.pywsgi import WSGIServer
from wsgi_app import application

if __name__ == "__main__":
    WSGIServer(("127.0.0.1", int(sys.argv[1])), application, log=None).serve_forever()
