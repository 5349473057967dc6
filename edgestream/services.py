"""The service of one machine, until it is stopped."""

from __future__ import annotations

from edgestream.local import LocalService, ServiceOptions
from edgestream.passwords import port_file
from stream.service import StopSignal, say
from stream.url_secrets import shown


def run_service(options: ServiceOptions) -> None:
    """Everything on one machine until stopped; then what was accepted is drained."""
    stop = StopSignal().listen()
    with LocalService(options) as service:
        own = service.server
        has_port = own is not None and own.port
        address = shown(own.tcp_url) if own is not None and has_port else service.shown_url
        announced = False
        while not stop.wait(0.25 if announced else 0.05):
            service.watch()
            if not announced and service.is_ready():
                say(f"serving on {address}, files in {options.out}; stop with Ctrl-C")
                say(f"push with: edgestream push md.extxyz --run NAME --redis-url {address}")
                if has_port:
                    say(f"edgestream finds its password in {port_file(options.port)}")
                announced = True
        say("stopping: what was accepted is finished first")
