"""A game's own loop: a frame, a bit of server, a frame. Its mouse button is pressed by an event of its own."""

import sys

import pygame
from common import FRAME_SECONDS, Show

playing = True


def stop() -> None:
    global playing
    playing = False


pygame.init()
screen = pygame.display.set_mode((420, 200))
font = pygame.font.Font(None, 40)
clock = pygame.time.Clock()
show = Show(stop)
show.begin()
count = 0
while playing:
    for event in pygame.event.get():
        if event.type == pygame.MOUSEBUTTONDOWN:
            show.click()
    count += 1
    show.frame()
    screen.fill((250, 250, 250))
    screen.blit(font.render(f"frame {count}, {show.clicks} clicks", True, (20, 20, 20)), (20, 40))
    screen.blit(font.render(f"{len(show.reactor.table.rows)} rows", True, (20, 20, 20)), (20, 100))
    pygame.display.flip()
    if count % 20 == 0:
        pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=(1, 1)))
    if count == 150 and len(sys.argv) > 1:
        pygame.image.save(screen, sys.argv[1])
    show.reactor.step(0, budget_seconds=0.002)
    clock.tick(1 / FRAME_SECONDS)
show.reactor.close()
pygame.quit()
