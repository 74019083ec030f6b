"""Where kopf, the caches, the decisions and the gateway are joined into an operator."""
