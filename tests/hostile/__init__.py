"""An agent that fights back: random hostile objects, while somebody else's agents are stopped one after another."""
