"""The frontier: points to try, what each costs and buys, which to take, and the page that shows it."""
