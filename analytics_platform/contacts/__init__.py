"""Where contacts go: services that send mail to lists of people.

Belongs here: the port, and one file a service. Does not: who is a contact (`funnels/`), when
it is told (`funnel_outbox.py`).
"""
