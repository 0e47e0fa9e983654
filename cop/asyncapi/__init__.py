"""The live stream described for machines and for those who write clients: the AsyncAPI document of `/asyncapi`."""
