"""Sockets that carry frames. A link knows a session, never a URL."""
