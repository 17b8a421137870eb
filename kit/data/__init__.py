"""The data of a challenge: splits, their objects, and the generated mini challenge."""
