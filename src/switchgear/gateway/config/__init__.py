"""The gateway's configuration: from a file to a model, or to every mistake in it.

    loaded = load_config(Path("gateway.yaml"), os.environ)
    if loaded.config is None:
        for mistake in loaded.mistakes:
            print(mistake.text())

No connection is opened, and no exception leaves it, whatever the file holds. A Python file is run.
"""

from switchgear.gateway.config.loading import Loaded, load_config
from switchgear.gateway.config.mistakes import Mistake
from switchgear.gateway.config.model import GatewayConfig

__all__ = ["GatewayConfig", "Loaded", "Mistake", "load_config"]
