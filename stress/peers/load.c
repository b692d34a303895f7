/* The load: N connections; each sends a message, waits for its whole echo, and sends again (a closed loop).
 *
 * In C because under a slow generator the server finds few requests in each poll, and pays for more polls. The
 * connections stay open while the bench reads what the server has used, so accepting and closing are not counted:
 *
 *     load PORT CONNECTIONS SIZE
 *     stdin:  "n"                 do exactly n requests (the first time, to warm up)
 *     stdout: "DONE n seconds"    they are done; waits for the next line, or ends with the end of stdin
 *
 * 60 seconds without a line end it, whatever happens. load.py is the same for machines without a compiler.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SIZE_MAX_BYTES 32768 /* always fits into the socket's buffers, so a blocking send never waits for the echo */
#define SHIFTS 251           /* prime: neighbouring messages differ, and a lost or repeated one is seen */
#define EVENTS 256

struct connection {
    int descriptor;
    int received; /* bytes of the current echo */
    unsigned turn;
};

static char pattern[SIZE_MAX_BYTES + SHIFTS];
static char inbox[SIZE_MAX_BYTES + 1]; /* one byte more than any echo, to see a server that sends too much */
static struct connection *connections;
static int poller, size;

static void fail(const char *why)
{
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

/* A message is a window of the pattern, so nothing has to be built or kept for it. */
static const char *message(int index)
{
    return pattern + (index + connections[index].turn) % SHIFTS;
}

static void open_connection(int index, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
    int on = 1, descriptor = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) < 0)
        fail("cannot connect");
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) < 0)
        fail("cannot watch a connection");
    connections[index].descriptor = descriptor;
}

static void begin(int index)
{
    connections[index].received = 0;
    connections[index].turn++;
    if (send(connections[index].descriptor, message(index), size, MSG_NOSIGNAL) != size)
        fail("the server closed a connection");
}

/* Reads what has come; true when the echo is whole. */
static int advance(int index)
{
    struct connection *connection = &connections[index];
    int count = recv(connection->descriptor, inbox, sizeof inbox, 0);

    if (count <= 0)
        fail("the server closed a connection");
    if (connection->received + count > size || memcmp(inbox, message(index) + connection->received, count) != 0)
        fail("the echo has wrong bytes");
    connection->received += count;
    return connection->received == size;
}

static void run(int count, long requests)
{
    struct epoll_event events[EVENTS];
    long begun = 0, done = 0;

    for (int index = 0; index < count && begun < requests; index++, begun++)
        begin(index);
    while (done < requests) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int index = events[i].data.u32;
            if (!advance(index))
                continue;
            done++;
            if (begun < requests) {
                begin(index);
                begun++;
            }
        }
    }
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    long requests;

    alarm(60);
    if (argc != 4)
        fail("usage: load PORT CONNECTIONS SIZE");
    int count = atoi(argv[2]);
    size = atoi(argv[3]);
    if (count < 1 || size < 1 || size > SIZE_MAX_BYTES)
        fail("impossible numbers");
    connections = calloc(count, sizeof *connections);
    poller = epoll_create1(0);
    if (!connections || poller < 0)
        fail("no memory or no epoll");
    for (int i = 0; i < (int)sizeof pattern; i++)
        pattern[i] = (unsigned)i * 2654435761u >> 24; /* well mixed, so shifted windows differ */
    for (int index = 0; index < count; index++)
        open_connection(index, atoi(argv[1]));

    while (scanf("%ld", &requests) == 1) {
        double before = seconds_now();
        alarm(60);
        run(count, requests);
        printf("DONE %ld %.6f\n", requests, seconds_now() - before);
        fflush(stdout);
    }
    return 0;
}
