"""The demo, the playground's verb and the examples, as a user runs them."""
