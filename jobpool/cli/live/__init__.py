"""The live view of `jobpool top`: who looks, what is known then, how it is drawn, which keys are heard."""
