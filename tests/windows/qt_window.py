"""A Qt window with a counter and a button, and a server beside it. Its button is clicked by Qt's own test module."""

import sys

from common import FRAME_SECONDS, Show
from partway.engine.adapters.qt import attach
from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPushButton, QVBoxLayout, QWidget

application = QApplication(sys.argv[:1])
show = Show(application.quit)
window = QWidget()
window.setWindowTitle("partway beside Qt")
window.resize(420, 200)
frames, rows, button = QLabel(), QLabel(), QPushButton("click")
layout = QVBoxLayout(window)
for part in (frames, rows, button):
    layout.addWidget(part)
button.clicked.connect(show.click)
count = 0


def frame() -> None:
    global count
    count += 1
    show.frame()
    frames.setText(f"frame {count}, {show.clicks} clicks")
    if count % 20 == 0:
        totals = show.reactor.totals()
        rows.setText(f"{totals.rows} rows, {totals.received} bytes in, {totals.sent} out")
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def picture() -> None:
    window.grab().save(sys.argv[1])


timer = QTimer()
timer.timeout.connect(frame)
timer.start(int(FRAME_SECONDS * 1000))
turns = attach(show.reactor)
window.show()
if len(sys.argv) > 1:
    QTimer.singleShot(3000, picture)
show.begin()
application.exec()
turns.detach()
show.reactor.close()
