"""RFC 6455, RFC 7692, Engine.IO and Socket.IO without I/O: bytes in, decisions out."""
