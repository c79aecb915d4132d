"""A run as a picture: one HTML page that needs nothing else.

recorder     hears a run: lives, faults, views, datagrams, findings, all bounded
page         puts what was heard into `page.html`
"""
