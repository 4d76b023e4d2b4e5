/* What a hostile program tries. Built in the host by tests/host/sharing.rs; each verb says "got" for what it got. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void got(const char *what, long result)
{
    if (result >= 0)
        printf("got %s\n", what);
}

static void reach_for(pid_t pid)
{
    const char *files[] = {"mem", "environ", "maps", "auxv", "stack", "syscall", "io"};
    const char *links[] = {"cwd", "root", "exe", "fd/0", "fd/3", "ns/mnt"};
    int signals[] = {SIGSTOP, SIGTSTP, SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGALRM, SIGPIPE, SIGKILL};
    char path[64], buffer[64];
    for (size_t n = 0; n < sizeof files / sizeof *files; n++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[n]);
        int fd = open(path, O_RDONLY);
        got(path, fd < 0 ? -1 : read(fd, buffer, sizeof buffer));
    }
    for (size_t n = 0; n < sizeof links / sizeof *links; n++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, links[n]);
        got(path, readlink(path, buffer, sizeof buffer));
    }
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    got("mem to write", open(path, O_RDWR));
    snprintf(path, sizeof path, "/proc/%d/root/etc", pid);
    got("its root", chdir(path));
    snprintf(path, sizeof path, "/proc/%d/oom_score_adj", pid);
    got("its score", open(path, O_WRONLY));
    int pidfd = syscall(SYS_pidfd_open, pid, 0);
    got("its descriptor", syscall(SYS_pidfd_getfd, pidfd, 0, 0));
    struct iovec own = {buffer, 8}, other = {(void *)0x1000, 8};
    errno = 0;
    process_vm_readv(pid, &own, 1, &other, 1, 0);
    got("its memory", errno == EPERM ? -1 : 0);
    got("its limits", syscall(SYS_prlimit64, pid, 7, NULL, buffer));
    got("its trace", ptrace(PTRACE_SEIZE, pid, 0, 0));
    got("its attention", ptrace(PTRACE_ATTACH, pid, 0, 0));
    for (size_t n = 0; n < sizeof signals / sizeof *signals; n++)
        got(strsignal(signals[n]), kill(pid, signals[n]));
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strcmp(argv[1], "become")) { /* set-user-id, as sudo */
        uid_t to = geteuid();
        if ((to == 0 && setresgid(0, 0, 0)) || setresuid(to, to, to))
            return 99;
        execvp(argv[2], argv + 2);
        return 98;
    }
    if (argc > 2 && !strcmp(argv[1], "orphan")) { /* its parent is gone */
        if (fork())
            return 0;
        while (getppid() != 1)
            usleep(1000);
        execvp(argv[2], argv + 2);
        return 98;
    }
    if (argc > 2 && !strcmp(argv[1], "reach"))
        for (int n = 2; n < argc; n++)
            reach_for(atoi(argv[n]));
    if (argc > 2 && !strcmp(argv[1], "open"))
        for (int n = 2; n < argc; n++)
            got(argv[n], open(argv[n], O_RDWR | O_NOCTTY));
    puts("done");
    return 0;
}
