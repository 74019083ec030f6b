"""The verbs for people who stop agents: `kubectl agentstop`, and `agentstop` beside its operator's verbs.

Nothing here imports the Kubernetes client, pydantic or kopf on the way to a stop: a person is waiting.
"""
