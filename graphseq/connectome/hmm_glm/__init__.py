"""Generalised linear models of spiking networks whose wiring follows a hidden Markov chain."""
