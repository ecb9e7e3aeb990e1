"""The picows link has no C surface of its own: sessions drive it through Link of session.pxd."""
