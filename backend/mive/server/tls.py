"""The server's side of TLS."""

from __future__ import annotations

import grpc

from mive.server.config import TlsOptions
from mive.wire.tls import read_authorities, read_pair


def server_credentials(options: TlsOptions) -> grpc.ServerCredentials | None:
    """What a server needs to be called over TLS; None where no certificate is configured.

    Raises:
        RequestError: a file is missing, damaged, expired, or does not fit the other.
    """
    if options.certificate is None or options.key is None:
        return None
    chain, private = read_pair(options.certificate, options.key, "server")
    issuers = None if options.client_ca is None else read_authorities(options.client_ca)
    return grpc.ssl_server_credentials([(private, chain)], issuers, require_client_auth=issuers is not None)
