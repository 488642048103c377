"""Who is probably at risk, before anything is trained twice."""
