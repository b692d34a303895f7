"""The host: wasmtime runs a component that may use the network: host.py COMPONENT SECONDS."""

import sys

from wasmtime import Config, Engine, Store, WasiConfig, _bindings
from wasmtime.component import Component, Linker

config = Config()
config.cache = True  # compiling takes ten seconds, the first time
engine = Engine(config)
component = Component.from_file(engine, sys.argv[1])
linker = Linker(engine)
linker.add_wasip2()
wasi = WasiConfig()
wasi.inherit_stdout()
wasi.inherit_stderr()
_bindings.wasi_config_inherit_network(wasi.ptr())  # WasiConfig has no method for it
store = Store(engine)
store.set_wasi(wasi)
serve = linker.instantiate(store, component).get_func(store, "serve")
print(serve(store, int(sys.argv[2])), flush=True)
