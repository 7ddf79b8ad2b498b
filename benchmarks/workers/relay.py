"""A slow cable: two network devices, between which this process passes packets on late and at a limited rate.

Linux has `tc netem` for this, but not every kernel has it.
"""

import argparse
import contextlib
import fcntl
import os
import select
import struct
import time
from collections import deque

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000  # linux/if_tun.h: IP packets without a header of their own
LARGEST_PACKET = 65_536
MAX_WAITING = 1000  # packets; further ones are lost, as in a switch and in netem
SPIN_S = 0.0005  # how long before its time a packet may leave


class Direction:
    """The packets on their way from one device to the other.

    Args:
        source: File descriptor to read from.
        target: File descriptor to write to.
        delay: Seconds that a packet takes.
        bytes_per_s: What the cable carries.
    """

    def __init__(self, source: int, target: int, delay: float, bytes_per_s: float) -> None:
        self.source, self.target, self.delay, self.bytes_per_s = source, target, delay, bytes_per_s
        self.packets: deque[tuple[float, bytes]] = deque()  # with the time of arrival
        self.free_at = 0.0  # when the cable has sent all

    def read(self) -> None:
        """Take packets from the source until it has no more."""
        while True:
            try:
                packet = os.read(self.source, LARGEST_PACKET)
            except BlockingIOError:
                return
            now = time.monotonic()
            if (self.free_at - now) * self.bytes_per_s > MAX_WAITING * len(packet):
                continue
            self.free_at = max(now, self.free_at) + len(packet) / self.bytes_per_s
            self.packets.append((self.free_at + self.delay, packet))

    def write(self) -> float:
        """Deliver what has arrived, and return the seconds until the next packet does."""
        while self.packets and (wait := self.packets[0][0] - time.monotonic()) < SPIN_S:
            with contextlib.suppress(OSError):  # the device is down
                os.write(self.target, self.packets.popleft()[1])
        return wait if self.packets else 1.0


def open_device(name: str) -> int:
    """Create a network device whose packets this process reads and writes. It ends with the process."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("devices", nargs=2, help="names of the network devices to create")
    parser.add_argument("--round_trip_ms", type=float, required=True)
    parser.add_argument("--mbit_per_s", type=float, required=True)
    args = parser.parse_args()
    os.nice(-20)  # a cable does not wait for a CPU
    ends = [open_device(name) for name in args.devices]
    cable = args.round_trip_ms / 2000, args.mbit_per_s * 1e6 / 8
    directions = {source: Direction(source, target, *cable) for source, target in (ends, ends[::-1])}
    print("ready", flush=True)
    while True:
        wait = min(direction.write() for direction in directions.values())
        for source in select.select(ends, [], [], wait)[0]:
            directions[source].read()


if __name__ == "__main__":
    main()
