# vaultd: one region of a Tetrad cluster. Check it with: vaultd check --config FILE
# Every setting is described in docs/ops/configuration.md.

data_dir = "/var/lib/tetrad"
region   = "frankfurt" # as the genesis plan names it

# "require": refuse to start unless memory can be locked; "try"; "off".
mlock = "require"

hsm {
  module         = "/usr/lib/softhsm/libsofthsm2.so"
  token_label    = "tetrad-frankfurt"
  pin_credential = "hsm-pin" # systemd LoadCredential=; or pin_file = "/path"
  workers        = 2
  timeout        = "10s"
}

listen {
  raft   = "0.0.0.0:7201"
  api    = "0.0.0.0:7202"
  gossip = "0.0.0.0:7203"
}

# What the other regions and the clients dial.
advertise {
  raft   = "frankfurt.vault.example:7201"
  api    = "frankfurt.vault.example:7202"
  gossip = "203.0.113.10:7203"
}

raft {
  profile = "wan" # "loopback" only for labs on one machine
}

limits {
  max_connections             = 1024
  max_connections_per_address = 512
  max_streams                 = 1024  # calls at once on one connection
  request_rate                = 20000 # calls a second from one address
  request_burst               = 20000
  min_free_disk               = "256MiB"
}

shares {
  keep = "10m" # decrypted shares of threshold keys, unused
  most = 4096
}

log {
  level  = "info"
  format = "json"
}

telemetry {
  listen = "127.0.0.1:9720"
}
