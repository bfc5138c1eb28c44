"""Training on whole RSA populations that the model being trained samples itself, instead of on prompts made before.

``sampler`` is the trainer's model as a backend of our engine, ``rollout`` runs the engine on it and hands the chains to
TRL, and ``credit`` says what each chain is worth for the end of its population.
"""
