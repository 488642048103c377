"""The interface of the ``mia`` library (Kulynych and Yaghini, 2018), written anew. What differs: docs/compat.md."""
