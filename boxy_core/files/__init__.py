"""Files on their way: trees to tar streams and back, the same for boxes and for the host.

write.py     headers of a tar stream (pax)
pack.py      a tree as a stream
extract.py   a stream as a tree
"""
