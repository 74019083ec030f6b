"""The HTTP door: who has no kubectl stops, pauses and looks at tasks through it, and is himself to the API server."""
