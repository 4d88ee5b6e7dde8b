"""Pools on Kubernetes: which RayService serves which model, and every object that this takes.

Pure, as all of `plan`. The RayService is built from all models of its pool, never from some.
"""
