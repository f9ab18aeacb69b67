"""`valaro app`: a page on this machine for dropping recordings into, and for a live camera.

`server` answers the browser, `shelf` keeps the recordings and has them analysed one after the other, each in
a process of its own, `live` estimates the camera's frames as they come. Nothing is reachable from elsewhere:
the server listens on 127.0.0.1 and requires the token of its address with every request.
"""
