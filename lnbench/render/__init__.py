"""Tables as text or renderables: one thin file per output, none of which prints."""
