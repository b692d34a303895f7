/* The floor: an echo server in C over level-triggered epoll, with nothing kept for a connection but its descriptor.
 *
 * What it costs is what the kernel costs. Like echo_bare.py it blocks in send: one client that does not read stops it.
 *
 *     echo_epoll PORT     (0 picks one); prints "PORT n" when it listens
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

static char inbox[65536];

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t length = sizeof address;
    int on = 1, listening = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (bind(listening, (struct sockaddr *)&address, length) < 0 || listen(listening, 1024) < 0) {
        perror("echo_epoll: cannot listen");
        exit(1);
    }
    getsockname(listening, (struct sockaddr *)&address, &length);
    printf("PORT %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listening;
}

static void watch(int poller, int descriptor)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
    if (descriptor >= 0 && epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) < 0)
        close(descriptor);
}

static void echo(int descriptor)
{
    ssize_t count = recv(descriptor, inbox, sizeof inbox, 0);
    for (ssize_t sent = 0; sent < count;) {
        ssize_t some = send(descriptor, inbox + sent, count - sent, MSG_NOSIGNAL);
        if (some < 0)
            count = -1;
        sent += some;
    }
    if (count <= 0)
        close(descriptor); /* which also takes it out of epoll: nobody else holds the file */
}

int main(int argc, char **argv)
{
    int listening = listen_on(argc > 1 ? atoi(argv[1]) : 0), poller = epoll_create1(0);
    struct epoll_event events[EVENTS];

    watch(poller, listening);
    for (;;) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd == listening)
                watch(poller, accept(listening, NULL, NULL));
            else
                echo(events[i].data.fd);
        }
    }
}
