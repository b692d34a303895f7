/* The load: N connections; each sends a request, waits for its whole answer, and sends again (a closed loop).
 *
 * In C because under a slow generator the server finds few requests in each poll, and pays for more polls. The
 * connections stay open while the bench reads what the server has used, so accepting and closing are not counted:
 *
 *     load PORT CONNECTIONS SIZE               messages of SIZE bytes, each to be echoed
 *     load PORT CONNECTIONS SIZE REQUEST...    HTTP requests, in turn; each answer's body is SIZE bytes of the pattern
 *     stdin:  "n"                              do exactly n requests (the first time, to warm up)
 *     stdout: "DONE n seconds"                 they are done; waits for the next line, or ends with the end of stdin
 *
 * Every byte of an echo or a body is compared. How long a head of HTTP is, the first answer says; all others must have
 * the same length (a Date always has), the status 200 and their end in the same place.
 *
 * 60 seconds without a line end it, whatever happens. load.py is the same for machines without a compiler.
 */
#define _GNU_SOURCE
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

#define ECHO_MAX_BYTES 32768 /* always fits into the socket's buffers, so a blocking send never waits for the echo */
#define SHIFTS 251           /* prime: neighbouring messages differ, and a lost or repeated one is seen */
#define PERIOD (ECHO_MAX_BYTES + SHIFTS) /* odd: what is out of place by a power of two is seen */
#define HEAD_MAX_BYTES 4096
#define STATUS "HTTP/1.1 200 "
#define EVENTS 256

struct connection {
    int descriptor;
    long received; /* bytes of the current answer */
    unsigned turn;
};

static char inbox[256 * 1024];               /* more than any echo, to see a server that sends too much */
static char pattern[PERIOD + sizeof inbox];  /* repeats itself, so what one read brings is compared at once */
static char head[HEAD_MAX_BYTES];            /* of the first answer; an echo has none */
static struct connection *connections;
static char **requests;                      /* NULL for echo */
static int poller, heads;
static long size, head_size, turns;

static void fail(const char *why)
{
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

/* An echo's message is a window of the pattern, so nothing has to be built or kept for it; a body begins with it. */
static unsigned shift(int index)
{
    return requests ? 0 : (index + connections[index].turn) % SHIFTS;
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
    const char *message = requests ? requests[turns++ % heads] : pattern + shift(index);
    long length = requests ? (long)strlen(message) : size;
    if (send(connections[index].descriptor, message, length, MSG_NOSIGNAL) != length)
        fail("the server closed a connection");
}

/* Whether those bytes of a head that lie between two places are the first answer's, as far as they have come. */
static int agrees(long from, long to, long received, long count)
{
    from = from > received ? from : received;
    to = to < received + count ? to : received + count;
    return from >= to || memcmp(inbox + from - received, head + from, to - from) == 0;
}

/* Reads what has come; true when the answer is whole. */
static int advance(int index)
{
    long received = connections[index].received;
    long count = recv(connections[index].descriptor, inbox, sizeof inbox, 0);
    long skip = head_size > received ? head_size - received : 0; /* what is head of it */

    if (count <= 0)
        fail("the server closed a connection");
    if (received + count > head_size + size)
        fail("an answer is too long");
    if (head_size && !agrees(0, strlen(STATUS), received, count))
        fail("an answer is not 200");
    if (head_size && !agrees(head_size - 4, head_size, received, count))
        fail("a head has another length");
    if (skip < count) {
        long place = shift(index) + received + skip - head_size;
        if (memcmp(inbox + skip, pattern + place % PERIOD, count - skip) != 0)
            fail("an answer has wrong bytes");
    }
    connections[index].received += count;
    return connections[index].received == head_size + size;
}

/* Looks at the first answer's head without taking it, then takes that answer like any other. */
static void learn(void)
{
    const char *end = NULL, *length;

    begin(0);
    while (end == NULL) {
        ssize_t count = recv(connections[0].descriptor, head, sizeof head - 1, MSG_PEEK);
        if (count <= 0)
            fail("the server closed a connection");
        head[count] = 0;
        end = strstr(head, "\r\n\r\n");
        if (end == NULL && count == sizeof head - 1)
            fail("the first answer has no head");
        if (end == NULL)
            usleep(1000);
    }
    head_size = end + 4 - head;
    head[head_size] = 0;
    if (strncmp(head, STATUS, strlen(STATUS)) != 0)
        fail("an answer is not 200");
    length = strcasestr(head, "\r\nContent-Length:");
    if (length == NULL || atol(strchr(length, ':') + 1) != size)
        fail("the first answer has another Content-Length");
    while (!advance(0))
        ;
}

static void run(int count, long wanted)
{
    struct epoll_event events[EVENTS];
    long begun = 0, done = 0;

    for (int index = 0; index < count && begun < wanted; index++, begun++)
        begin(index);
    while (done < wanted) {
        int ready = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int index = events[i].data.u32;
            if (!advance(index))
                continue;
            done++;
            if (begun < wanted) {
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
    long wanted;

    alarm(60);
    if (argc < 4)
        fail("usage: load PORT CONNECTIONS SIZE [REQUEST...]");
    int count = atoi(argv[2]);
    size = atol(argv[3]);
    heads = argc - 4;
    requests = heads ? argv + 4 : NULL;
    if (count < 1 || size < 1 || (!requests && size > ECHO_MAX_BYTES))
        fail("impossible numbers");
    connections = calloc(count, sizeof *connections);
    poller = epoll_create1(0);
    if (!connections || poller < 0)
        fail("no memory or no epoll");
    for (int i = 0; i < (int)sizeof pattern; i++)
        pattern[i] = (unsigned)(i % PERIOD) * 2654435761u >> 24; /* well mixed, so shifted windows differ */
    for (int index = 0; index < count; index++)
        open_connection(index, atoi(argv[1]));
    if (requests)
        learn();

    while (scanf("%ld", &wanted) == 1) {
        double before = seconds_now();
        alarm(60);
        run(count, wanted);
        printf("DONE %ld %.6f\n", wanted, seconds_now() - before);
        fflush(stdout);
    }
    return 0;
}
