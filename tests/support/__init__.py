"""What the tests share: probes, the leak checker, images, daemons, import contracts."""
