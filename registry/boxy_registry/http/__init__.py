"""The protocol: OCI Distribution 1.1 over HTTP, one short handler per end point.

connections.py  what is between a socket and a request
quick.py     small reads, answered at once; held against the long way by a test
target.py    a path and a method -> what is asked for (pure)
app.py       the application: who asks, what is answered, what went wrong
exchange.py  one request on its way through
manifest.py  blob.py  upload.py  listing.py   the end points
"""
