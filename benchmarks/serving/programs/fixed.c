/* The least that a server can do: read requests to their end, and answer each with the same bytes.

   fixed PORT BYTES   HTTP/1.1 and gRPC over HTTP/2 without TLS on one port of 127.0.0.1; answers of BYTES times 'x'.

   What a load generator reaches against it is the generator's own ceiling: one thread, one recv and one send for a
   request, nothing decoded, no memory taken while it serves. It trusts its peers: flow control is left to windows as
   large as h2load's (2^30), a request's head has to fit into a buffer, and a body needs its length at the head. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 4096, HEAD = 16384, READ = 1 << 18, MAX_ANSWER = 16000, OUT = 1 << 20, AT_ONCE = 256 };
enum { DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6, WINDOW_UPDATE = 8, END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const uint32_t MAX_WINDOW = 0x7fffffff, HALF_WINDOW = 0x40000000;

struct connection {
    enum { UNKNOWN, HTTP_1, HTTP_2 } kind;
    size_t kept, left, unacknowledged; /* bytes of a head; bytes of a body that are still to come; of windows */
    char head[HEAD];
    uint8_t type, flags;
    uint32_t stream;
};

static struct connection *connections[MAX_CONNECTIONS];
static char in[READ], out[OUT], answer_1[MAX_ANSWER + 256], message[MAX_ANSWER + 5];
static size_t out_size, answer_1_size, message_size;

static void put(const void *bytes, size_t size) {
    if (out_size + size > OUT) {
        fprintf(stderr, "too many answers at once\n");
        exit(1);
    }
    memcpy(out + out_size, bytes, size);
    out_size += size;
}

static void put_frame(uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t size) {
    uint8_t head[9] = {size >> 16, size >> 8, size, type, flags, stream >> 24, stream >> 16, stream >> 8, stream};
    put(head, sizeof head);
    put(payload, size);
}

static void put_window(uint32_t more) {
    uint32_t big = htonl(more);
    put_frame(WINDOW_UPDATE, 0, 0, &big, sizeof big);
}

/* ":status: 200" is indexed; the others are literals without indexing, which keep no state. */
static void answer_2(uint32_t stream) {
    static const char opening[] = "\x88\x00\x0c" "content-type" "\x10" "application/grpc";
    static const char trailers[] = "\x00\x0b" "grpc-status" "\x01" "0";
    put_frame(HEADERS, END_HEADERS, stream, opening, sizeof opening - 1);
    put_frame(DATA, 0, stream, message, message_size);
    put_frame(HEADERS, END_HEADERS | END_STREAM, stream, trailers, sizeof trailers - 1);
}

static void end_frame(struct connection *one) {
    if (one->type == DATA || one->type == HEADERS) {
        if (one->flags & END_STREAM) answer_2(one->stream);
        if (one->unacknowledged > HALF_WINDOW) {
            put_window(one->unacknowledged);
            one->unacknowledged = 0;
        }
    } else if (one->type == SETTINGS && !(one->flags & ACK)) {
        put_frame(SETTINGS, ACK, 0, "", 0);
    } else if (one->type == PING && !(one->flags & ACK)) {
        put_frame(PING, ACK, 0, one->head + 9, 8);
    }
    one->kept = 0;
}

/* Frames: nine bytes of a head, then so many that are passed over (those of a PING are kept). */
static void feed_2(struct connection *one, const char *bytes, size_t size) {
    while (size) {
        if (one->kept < 9 || (one->type == PING && one->left)) {
            one->head[one->kept++] = *bytes++;
            size--;
            if (one->kept > 9) one->left--;
            if (one->kept == 9) {
                const uint8_t *head = (const uint8_t *)one->head;
                one->left = (size_t)head[0] << 16 | head[1] << 8 | head[2];
                one->type = head[3];
                one->flags = head[4];
                one->stream = (uint32_t)head[5] << 24 | head[6] << 16 | head[7] << 8 | head[8];
                if (one->type == DATA) one->unacknowledged += one->left;
            }
        } else {
            size_t part = size < one->left ? size : one->left;
            bytes += part;
            size -= part;
            one->left -= part;
        }
        if (one->kept >= 9 && !one->left) end_frame(one);
    }
}

static size_t body_size(char *head) {
    for (char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, "content-length:", 15)) return strtoul(line + 17, NULL, 10);
    return 0;
}

/* Heads are kept until they end, bodies are passed over. Returns -1 where a head is too long. */
static int feed_1(struct connection *one, const char *bytes, size_t size) {
    while (size) {
        if (one->left) {
            size_t part = size < one->left ? size : one->left;
            bytes += part;
            size -= part;
            one->left -= part;
        } else {
            size_t free = HEAD - 1 - one->kept, part = size < free ? size : free, before = one->kept;
            if (!free) return -1;
            memcpy(one->head + before, bytes, part);
            one->head[before + part] = 0;
            char *end = strstr(one->head, "\r\n\r\n");
            if (!end) {
                one->kept += part;
                bytes += part;
                size -= part;
                continue;
            }
            size_t taken = (size_t)(end + 4 - one->head) - before;
            end[2] = 0;
            one->left = body_size(one->head);
            one->kept = 0;
            bytes += taken;
            size -= taken;
        }
        if (!one->left) put(answer_1, answer_1_size);
    }
    return 0;
}

static int feed(struct connection *one, const char *bytes, size_t size) {
    if (one->kind == UNKNOWN) {
        size_t needed = sizeof PREFACE - 1 - one->kept, part = size < needed ? size : needed;
        memcpy(one->head + one->kept, bytes, part);
        one->kept += part;
        size_t known = one->kept;
        if (memcmp(one->head, PREFACE, known)) {
            char begun[sizeof PREFACE];
            memcpy(begun, one->head, known);
            one->kind = HTTP_1;
            one->kept = 0;
            if (feed_1(one, begun, known)) return -1;
        } else if (known == sizeof PREFACE - 1) {
            static const uint8_t initial_window[] = {0, 4, 0x7f, 0xff, 0xff, 0xff};
            one->kind = HTTP_2;
            one->kept = 0;
            put_frame(SETTINGS, 0, 0, initial_window, sizeof initial_window);
            put_window(MAX_WINDOW - 65535);
        }
        bytes += part;
        size -= part;
    }
    if (one->kind == HTTP_2) feed_2(one, bytes, size);
    return one->kind == HTTP_1 ? feed_1(one, bytes, size) : 0;
}

/* Returns -1 where the connection is to be closed. */
static int serve(int socket) {
    ssize_t size = recv(socket, in, READ, 0);
    if (size <= 0) return size < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    out_size = 0;
    if (feed(connections[socket], in, size)) return -1;
    for (size_t sent = 0; sent < out_size;) {
        ssize_t part = send(socket, out + sent, out_size - sent, MSG_NOSIGNAL); /* blocks where it must */
        if (part < 0) return -1;
        sent += part;
    }
    return 0;
}

int main(int count, char **arguments) {
    long port = count == 3 ? strtol(arguments[1], NULL, 10) : 0, size = count == 3 ? strtol(arguments[2], NULL, 10) : 0;
    if (port < 1 || port > 65535 || size < 1 || size > MAX_ANSWER) {
        fprintf(stderr, "usage: %s PORT BYTES (1 to %d)\n", arguments[0], MAX_ANSWER);
        return 2;
    }
    message[3] = size >> 8, message[4] = size; /* a flag, four bytes of length */
    memset(message + 5, 'x', size);
    message_size = size + 5;
    answer_1_size = snprintf(
        answer_1, 256, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %ld\r\n\r\n", size);
    memset(answer_1 + answer_1_size, 'x', size);
    answer_1_size += size;

    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) {
        perror("port");
        return 1;
    }
    struct epoll_event wanted = {.events = EPOLLIN, .data.fd = listener}, found[AT_ONCE];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int ready = epoll_wait(poll, found, AT_ONCE, -1);
        for (int index = 0; index < ready; index++) {
            int socket = found[index].data.fd;
            if (socket == listener) {
                int one = accept(listener, NULL, NULL);
                if (one < 0) continue;
                struct connection *made = one < MAX_CONNECTIONS ? calloc(1, sizeof *made) : NULL;
                if (!made) {
                    close(one);
                    continue;
                }
                setsockopt(one, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                connections[one] = made;
                wanted.data.fd = one;
                epoll_ctl(poll, EPOLL_CTL_ADD, one, &wanted);
            } else if (serve(socket)) {
                free(connections[socket]);
                connections[socket] = NULL;
                close(socket);
            }
        }
    }
}
