"""The policy: ranking, selection, caps, neutrality, the target book and the step towards it."""
