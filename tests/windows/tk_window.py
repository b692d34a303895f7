"""A Tk window with a counter and a button, and a server beside it."""

import tkinter

from common import FRAME_SECONDS, Show
from partway.engine.adapters.tk import attach

root = tkinter.Tk()
root.title("partway beside Tk")
show = Show(root.quit)
frames = tkinter.Label(root, font=("", 30), width=24)
rows = tkinter.Label(root, font=("", 16), width=48)
button = tkinter.Button(root, text="click", font=("", 20), command=show.click)
for part in (frames, rows, button):
    part.pack(padx=20, pady=10)
show.where = lambda: f"{button.winfo_rootx() + 5} {button.winfo_rooty() + 5}"
count = 0


def frame() -> None:
    global count
    count += 1
    show.frame()
    frames["text"] = f"frame {count}, {show.clicks} clicks"
    totals = show.reactor.totals() if count % 20 == 0 else None
    if totals is not None:
        rows["text"] = f"{totals.rows} rows, {totals.received} bytes in, {totals.sent} out"
    root.after(int(FRAME_SECONDS * 1000), frame)


turns = attach(show.reactor, root)
frame()
show.begin()
root.mainloop()
turns.detach()
show.reactor.close()
root.destroy()
