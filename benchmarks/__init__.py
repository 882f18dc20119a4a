"""How fast Reverie is, and where the time goes. See README.md beside this file; each module is one command."""
