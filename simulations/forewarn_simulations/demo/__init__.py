"""The demo: one lunch break and one bus ride, from the first identifier on the air to the alert on a phone.

`layout` draws who sits where, `story` runs it on the real client and server, `verdicts` compares the alerts with the
truth, `telling` tells it in the terminal and `report` on a page with pictures.
"""
