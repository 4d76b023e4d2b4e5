/*
 * A PAM module that behaves badly on request, for the tests' hosts only.
 * Each argument is CALL:BEHAVIOUR[=VALUE], CALL one of auth account password setcred renew delete open close any;
 * the behaviours of a call happen in the order written, and the call returns PAM_SUCCESS unless one says otherwise.
 * In VALUE, \xHH stands for a byte and \_ for a space.
 *
 *   hang             for ever, every signal blocked       crash, exit0       SIGSEGV; exit(0)
 *   fail=NUMBER      returns that PAM code                setuser[=NAME]     PAM_USER becomes NAME, or NULL
 *   say=TEXT         PAM_TEXT_INFO      error=TEXT        PAM_ERROR_MSG
 *   many=NUMBER      that many info texts in one call     long=NUMBER        an info text of that many bytes
 *   ask=PROMPT       hidden             show=PROMPT       visible; both append the answer's bytes in hex to ANSWERS
 *   two              one conversation with an info text, a hidden and a visible prompt
 *   odd              a message of a style that nobody knows
 *   password=TEXT    PAM_AUTH_ERR unless the answer to a hidden prompt is TEXT, byte for byte
 *   closefds         closes every descriptor above 2      linger             leaves a child that sleeps
 *   leak             leaves /etc/shadow open, also for what is executed
 *   attributes       umask 0, directory /, SIGCHLD and SIGTERM ignored, SIGINT and SIGHUP blocked
 *   environment=A=B  pam_putenv                           note=TEXT          appends TEXT, PAM_USER and uids to NOTES
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <security/pam_modules.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ANSWERS "/var/log/gate-answers"
#define NOTES "/var/log/gate-notes"

static FILE *root_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	return fd < 0 ? NULL : fdopen(fd, "a");
}

static void unescape(const char *from, char *to, size_t size)
{
	size_t n = 0;
	while (*from && n + 1 < size) {
		unsigned byte;
		if (from[0] == '\\' && from[1] == '_') {
			to[n++] = ' ';
			from += 2;
		} else if (from[0] == '\\' && from[1] == 'x' && sscanf(from + 2, "%2x", &byte) == 1) {
			to[n++] = (char)byte;
			from += 4;
		} else {
			to[n++] = *from++;
		}
	}
	to[n] = 0;
}

static int converse(pam_handle_t *pamh, int count, const struct pam_message *messages, struct pam_response **answers)
{
	const struct pam_conv *conv = NULL;
	const struct pam_message **list = calloc(count ? count : 1, sizeof *list);
	int result = pam_get_item(pamh, PAM_CONV, (const void **)&conv);
	*answers = NULL;
	for (int i = 0; i < count; i++)
		list[i] = &messages[i];
	if (result == PAM_SUCCESS && conv && conv->conv)
		result = conv->conv(count, list, answers, conv->appdata_ptr);
	free(list);
	return result;
}

static void record_answer(const char *answer)
{
	FILE *file = root_file(ANSWERS);
	if (!file)
		return;
	for (; answer && *answer; answer++)
		fprintf(file, "%02x", (unsigned char)*answer);
	fprintf(file, answer ? "\n" : "null\n");
	fclose(file);
}

static int ask(pam_handle_t *pamh, int style, const char *text, const char *expected)
{
	struct pam_message message = { style, text };
	struct pam_response *answers;
	int result = converse(pamh, 1, &message, &answers);
	const char *answer = answers ? answers[0].resp : NULL;
	if (result != PAM_SUCCESS)
		return result;
	if (style == PAM_PROMPT_ECHO_OFF || style == PAM_PROMPT_ECHO_ON)
		record_answer(answer);
	if (expected && (!answer || strcmp(answer, expected)))
		result = PAM_AUTH_ERR;
	if (answers)
		free(answers[0].resp);
	free(answers);
	return result;
}

static int several(pam_handle_t *pamh, int count)
{
	struct pam_message *messages = calloc(count, sizeof *messages);
	struct pam_response *answers;
	for (int i = 0; i < count; i++)
		messages[i] = (struct pam_message){ PAM_TEXT_INFO, "one of many" };
	int result = converse(pamh, count, messages, &answers);
	free(messages);
	return result;
}

static int two(pam_handle_t *pamh)
{
	struct pam_message messages[] = {
		{ PAM_TEXT_INFO, "two questions follow" },
		{ PAM_PROMPT_ECHO_OFF, "hidden: " },
		{ PAM_PROMPT_ECHO_ON, "visible: " },
	};
	struct pam_response *answers;
	int result = converse(pamh, 3, messages, &answers);
	if (result != PAM_SUCCESS || !answers)
		return result;
	record_answer(answers[1].resp);
	record_answer(answers[2].resp);
	return PAM_SUCCESS;
}

static int long_text(pam_handle_t *pamh, int length)
{
	char *text = malloc(length + 1);
	memset(text, 'x', length);
	text[length] = 0;
	return ask(pamh, PAM_TEXT_INFO, text, NULL);
}

static void hang(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (;;)
		pause();
}

static void attributes(void)
{
	sigset_t some;
	umask(0);
	if (chdir("/"))
		abort();
	signal(SIGCHLD, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&some);
	sigaddset(&some, SIGINT);
	sigaddset(&some, SIGHUP);
	sigprocmask(SIG_BLOCK, &some, NULL);
}

static int linger(void)
{
	if (fork() == 0) {
		setsid();
		execl("/bin/sleep", "lingering", "1000", (char *)NULL);
		_exit(1);
	}
	return PAM_SUCCESS;
}

static int note(pam_handle_t *pamh, const char *call, const char *text)
{
	const char *user = NULL, *tty = NULL, *host = NULL, *ruser = NULL;
	uid_t real, effective, saved;
	FILE *file = root_file(NOTES);
	pam_get_item(pamh, PAM_USER, (const void **)&user);
	pam_get_item(pamh, PAM_TTY, (const void **)&tty);
	pam_get_item(pamh, PAM_RHOST, (const void **)&host);
	pam_get_item(pamh, PAM_RUSER, (const void **)&ruser);
	getresuid(&real, &effective, &saved);
	if (!file)
		return PAM_SYSTEM_ERR;
	fprintf(file, "%s %s user=%s ruser=%s tty=%s rhost=%s uids=%u,%u,%u\n", call, text, user ? user : "-",
		ruser ? ruser : "-", tty ? tty : "-", host ? host : "-", real, effective, saved);
	fclose(file);
	return PAM_SUCCESS;
}

static int behave(pam_handle_t *pamh, const char *call, const char *what, const char *value)
{
	if (!strcmp(what, "hang"))
		hang();
	if (!strcmp(what, "crash")) {
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	}
	if (!strcmp(what, "exit0"))
		exit(0);
	if (!strcmp(what, "fail"))
		return atoi(value);
	if (!strcmp(what, "setuser"))
		return pam_set_item(pamh, PAM_USER, *value ? value : NULL);
	if (!strcmp(what, "say"))
		return ask(pamh, PAM_TEXT_INFO, value, NULL);
	if (!strcmp(what, "error"))
		return ask(pamh, PAM_ERROR_MSG, value, NULL);
	if (!strcmp(what, "odd"))
		return ask(pamh, 77, "an odd message", NULL);
	if (!strcmp(what, "ask"))
		return ask(pamh, PAM_PROMPT_ECHO_OFF, value, NULL);
	if (!strcmp(what, "show"))
		return ask(pamh, PAM_PROMPT_ECHO_ON, value, NULL);
	if (!strcmp(what, "password"))
		return ask(pamh, PAM_PROMPT_ECHO_OFF, "Password: ", value);
	if (!strcmp(what, "two"))
		return two(pamh);
	if (!strcmp(what, "many"))
		return several(pamh, atoi(value));
	if (!strcmp(what, "long"))
		return long_text(pamh, atoi(value));
	if (!strcmp(what, "closefds"))
		return close_range(3, ~0U, 0) ? PAM_SYSTEM_ERR : PAM_SUCCESS;
	if (!strcmp(what, "leak"))
		return open("/etc/shadow", O_RDONLY) < 0 ? PAM_SYSTEM_ERR : PAM_SUCCESS;
	if (!strcmp(what, "linger"))
		return linger();
	if (!strcmp(what, "environment"))
		return pam_putenv(pamh, value);
	if (!strcmp(what, "note"))
		return note(pamh, call, value);
	if (!strcmp(what, "attributes")) {
		attributes();
		return PAM_SUCCESS;
	}
	return PAM_SYMBOL_ERR; /* a test that misspells is a test that fails */
}

static int perform(pam_handle_t *pamh, const char *call, int argc, const char **argv)
{
	for (int i = 0; i < argc; i++) {
		char what[64] = "", value[8192] = "";
		const char *colon = strchr(argv[i], ':');
		if (!colon || colon - argv[i] >= 16)
			return PAM_SYMBOL_ERR;
		size_t length = colon - argv[i];
		int ours = (strlen(call) == length && !strncmp(argv[i], call, length)) || !strncmp(argv[i], "any:", 4);
		if (!ours)
			continue;
		size_t name = strcspn(colon + 1, "=");
		if (name >= sizeof what)
			return PAM_SYMBOL_ERR;
		memcpy(what, colon + 1, name);
		if (colon[1 + name] == '=')
			unescape(colon + 1 + name + 1, value, sizeof value);
		int result = behave(pamh, call, what, value);
		if (result != PAM_SUCCESS)
			return result;
	}
	return PAM_SUCCESS;
}

int pam_sm_authenticate(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	return perform(pamh, "auth", argc, argv);
}

int pam_sm_setcred(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	if (flags & PAM_DELETE_CRED)
		return perform(pamh, "delete", argc, argv);
	return perform(pamh, flags & (PAM_REINITIALIZE_CRED | PAM_REFRESH_CRED) ? "renew" : "setcred", argc, argv);
}

int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	return perform(pamh, "account", argc, argv);
}

int pam_sm_chauthtok(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	return flags & PAM_PRELIM_CHECK ? PAM_SUCCESS : perform(pamh, "password", argc, argv);
}

int pam_sm_open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	return perform(pamh, "open", argc, argv);
}

int pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	return perform(pamh, "close", argc, argv);
}
