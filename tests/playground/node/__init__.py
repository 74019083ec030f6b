"""The playground's node on real processes, against every API server that is there."""
