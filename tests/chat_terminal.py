"""Drives `nibble chat` through a pseudo-terminal, as a person would.

usage: chat_terminal.py [--interrupt] COMMAND ARGUMENTS...
With --interrupt only: Ctrl-C during a long answer stops it, and the program goes on.
"""

import os
import pty
import select
import sys
import time


class Terminal:
    def __init__(self, command):
        self.unread = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(command[0], command)

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_for(self, text, seconds=60):
        """Reads up to `text`; what follows it is left for the next call."""
        end = time.time() + seconds
        while text.encode() not in self.unread:
            if time.time() > end:
                raise SystemExit("waited in vain for %r, saw %r" % (text, self.unread))
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    chunk = os.read(self.fd, 65536)
                except OSError:
                    chunk = b""
                if not chunk:
                    raise SystemExit("the program ended before %r, saw %r" % (text, self.unread))
                self.unread += chunk
        self.unread = self.unread.split(text.encode(), 1)[1]

    def wait_for_prompt(self, seconds=60):
        self.wait_for(">>> ", seconds)
        time.sleep(0.3)  # libedit shows the prompt first and then sets the terminal up for editing

    def exit_code(self):
        end = time.time() + 60
        while time.time() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        raise SystemExit("the program did not end")


def converse(command):
    terminal = Terminal(command)
    terminal.wait_for_prompt()
    terminal.type("First\n")
    terminal.wait_for("first token after")
    terminal.wait_for_prompt()
    terminal.type("half a line")
    terminal.wait_for("half a line")
    terminal.type("\x03")
    terminal.wait_for("Ctrl-D")
    terminal.wait_for_prompt()
    terminal.type("\x1b[A")  # up: the message before
    terminal.wait_for("First")
    terminal.type("\n")
    terminal.wait_for("first token after")
    terminal.wait_for_prompt()
    terminal.type("/help\n")
    terminal.wait_for("/regen")
    terminal.wait_for_prompt()
    terminal.type("\x04")
    code = terminal.exit_code()
    if code != 0:
        raise SystemExit("exit code %d" % code)


def interrupt(command):
    # How long an answer would get is the model's affair: each is cut.
    terminal = Terminal(command)
    terminal.wait_for_prompt()
    for message in ("Write a very long story about a king.", "Go on."):
        terminal.type(message + "\n")
        terminal.wait_for("\n")
        time.sleep(1)
        terminal.type("\x03")
        terminal.wait_for("first token after", 20)
        terminal.wait_for_prompt(20)
    terminal.type("/exit\n")
    code = terminal.exit_code()
    if code != 0:
        raise SystemExit("exit code %d" % code)


if __name__ == "__main__":
    if sys.argv[1] == "--interrupt":
        interrupt(sys.argv[2:])
    else:
        converse(sys.argv[1:])
