/* The program: finds the command, reads its options, runs it. */
#include "commands.h"
#include "settings.h"

#include <stdlib.h>
#include <string.h>

static const struct nib_command *const commands[] = {
    &nib_command_run,   &nib_command_chat,     &nib_command_inspect, &nib_command_tokenize,
    &nib_command_score, &nib_command_quantize, &nib_command_pack,    &nib_command_bench,
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static int print_usage(void)
{
    printf("nibble %s: transformer models on CPUs, from int8 and int4 weights\n\n"
           "usage: nibble COMMAND MODEL.gguf [options]\n\n",
           nib_version());
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf("\nnibble COMMAND --help lists a command's options; nibble --version says what runs "
           "here\n");
    return NIB_EXIT_OK;
}

static bool has_word(const char *words, const char *word)
{
    const size_t length = strlen(word);
    for (const char *at = words; length > 0 && (at = strstr(at, word)) != NULL; at += length) {
        if ((at == words || at[-1] == ' ') && (at[length] == 0 || at[length] == ' '))
            return true;
    }
    return false;
}

static int print_version(void)
{
    struct nib_machine_info machine;
    nib_machine_query(&machine);
    const char *forced = getenv("NIBBLE_ISA");
    const bool is_forced = forced && has_word(machine.isa_list, forced);
    printf("nibble %s\n", nib_version());
    printf("isa       %s%s (this machine: %s)\n", is_forced ? forced : machine.isa,
           is_forced ? " by NIBBLE_ISA" : "", machine.isa_list);
    printf("cpu       %s, %d cores, %d threads by default\n", machine.cpu_name, machine.n_cores,
           machine.n_threads);
#ifdef __clang__
    printf("compiler  Clang %s\n", __clang_version__);
#else
    printf("compiler  GCC %s\n", __VERSION__);
#endif
    return NIB_EXIT_OK;
}

static const struct nib_command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

static int run_command(int argc, char **argv)
{
    if (argc < 2)
        return nib_complain(NIB_EXIT_USAGE, "no command; nibble --help lists what there is");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        (strcmp(argv[1], "help") == 0 && argc == 2))
        return print_usage();
    if (strcmp(argv[1], "--version") == 0)
        return print_version();

    static char help_option[] = "--help";
    char *help_arguments[] = {help_option};
    const bool wants_help = strcmp(argv[1], "help") == 0;
    const char *name = argv[wants_help ? 2 : 1];
    const struct nib_command *command = find_command(name);
    if (!command)
        return nib_complain(NIB_EXIT_USAGE,
                            "unknown command %.100s; nibble --help lists what there is", name);
    const enum nib_options_result result = wants_help
                                               ? nib_options_read(command, 1, help_arguments)
                                               : nib_options_read(command, argc - 2, argv + 2);
    if (result != NIB_OPTIONS_READ)
        return result == NIB_OPTIONS_HELPED ? NIB_EXIT_OK : NIB_EXIT_USAGE;
    nib_terminal_configure((enum nib_colour)nib_settings.colour, nib_settings.is_quiet);
    return command->run();
}

int main(int argc, char **argv)
{
    setenv("HWLOC_HIDE_ERRORS", "2", 0); /* hwloc would print where /sys is a part of itself */
    nib_terminal_init();
    nib_settings_init();
    return nib_finish_output(run_command(argc, argv));
}
