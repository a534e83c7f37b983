/*
 * Which names a scope begins with as undefined.
 *
 * Jinja decides where a name lives before anything runs: a name that a scope assigns before it
 * reads it belongs to that scope from its beginning, so that the scopes inside (loops, macros) see
 * it as undefined until it is assigned, even if a variable around has that name:
 *
 *     {% for m in messages %}{{ tools }}{% endfor %}{% set tools = 1 %}      prints nothing
 *     {{ tools }}{% for m in messages %}{{ tools }}{% endfor %}{% set tools = 1 %}   prints tools
 *
 * What is assigned below an if does not count.  Scopes are looked at from the outside in, each
 * completely before those in it.
 */
#include "template_eval.h"
#include "template_parser.h"

struct symbol {
    const struct string *name;
    bool is_known;  /* read or assigned in this scope, or a parameter of it */
    bool is_stored; /* assigned */
    bool is_unset;  /* assigned before it is read, and not known around */
    unsigned mark;  /* the branch that collected it last */
};

struct change {
    struct symbol *symbol, before;
};

struct symbols {
    struct symbols *parent;
    struct symbol **slots; /* by name, open addressing */
    size_t n, n_slots;
    struct change *log; /* since the scope began; a branch undoes its part */
    size_t n_log, cap_log;
    unsigned n_branches;
};

struct analysis {
    struct arena *arena;
    bool failed;
};

static void *allocate(struct analysis *a, size_t n_bytes)
{
    void *memory = a->failed ? NULL : nib_tpl_arena_alloc(a->arena, n_bytes);
    a->failed |= memory == NULL;
    return memory;
}

/* ---- symbols -------------------------------------------------------------------------------- */

static size_t slot_of(const struct symbols *s, const struct string *name)
{
    const size_t mask = s->n_slots - 1;
    size_t i = (size_t)(((uintptr_t)name >> 4) * 0x9e3779b97f4a7c15u >> 20) & mask;
    while (s->slots[i] && s->slots[i]->name != name)
        i = (i + 1) & mask;
    return i;
}

static struct symbol *find(const struct symbols *s, const struct string *name)
{
    return s->n_slots ? s->slots[slot_of(s, name)] : NULL;
}

static struct symbol *find_or_add(struct analysis *a, struct symbols *s, const struct string *name)
{
    struct symbol *symbol = find(s, name);
    if (symbol)
        return symbol;
    if (2 * s->n >= s->n_slots) {
        struct symbol **old = s->slots;
        const size_t n_old = s->n_slots;
        const size_t n_slots = n_old ? 2 * n_old : 16;
        struct symbol **slots = allocate(a, n_slots * sizeof *slots);
        if (!slots)
            return NULL;
        s->slots = slots;
        s->n_slots = n_slots;
        for (size_t i = 0; i < n_old; i++) {
            if (old[i])
                s->slots[slot_of(s, old[i]->name)] = old[i];
        }
    }
    symbol = allocate(a, sizeof *symbol);
    if (symbol) {
        symbol->name = name;
        s->slots[slot_of(s, name)] = symbol;
        s->n++;
    }
    return symbol;
}

static bool is_known(const struct symbols *s, const struct string *name)
{
    for (; s; s = s->parent) {
        const struct symbol *symbol = find(s, name);
        if (symbol && symbol->is_known)
            return true;
    }
    return false;
}

static void set(struct analysis *a, struct symbols *s, struct symbol *symbol, struct symbol to)
{
    if (!symbol)
        return;
    if (s->n_log == s->cap_log) {
        const size_t cap = s->cap_log ? 2 * s->cap_log : 16;
        struct change *log = allocate(a, cap * sizeof *log);
        if (!log)
            return;
        if (s->n_log)
            memcpy(log, s->log, s->n_log * sizeof *log);
        s->log = log;
        s->cap_log = cap;
    }
    s->log[s->n_log++] = (struct change){symbol, *symbol};
    symbol->is_known = to.is_known;
    symbol->is_stored = to.is_stored;
    symbol->is_unset = to.is_unset;
}

static void load(struct analysis *a, struct symbols *s, const struct string *name)
{
    if (!is_known(s, name))
        set(a, s, find_or_add(a, s, name), (struct symbol){.is_known = true});
}

static void store(struct analysis *a, struct symbols *s, const struct string *name)
{
    struct symbol *symbol = find_or_add(a, s, name);
    if (!symbol || (symbol->is_known && symbol->is_stored))
        return;
    struct symbol to = {.is_known = true, .is_stored = true, .is_unset = symbol->is_unset};
    if (!symbol->is_known)
        to.is_unset = !is_known(s->parent, name);
    set(a, s, symbol, to);
}

static void declare(struct analysis *a, struct symbols *s, const struct string *name)
{
    set(a, s, find_or_add(a, s, name), (struct symbol){.is_known = true, .is_stored = true});
}

/* ---- one scope ------------------------------------------------------------------------------ */

static void visit_expression(struct analysis *a, struct symbols *s, const struct node *node)
{
    if (!node)
        return;
    if (node->kind == E_NAME || node->kind == E_NSREF)
        load(a, s, node->name);
    visit_expression(a, s, node->a);
    visit_expression(a, s, node->b);
    visit_expression(a, s, node->c);
    for (const struct node *child = node->list; child; child = child->next)
        visit_expression(a, s, child);
}

static void visit_target(struct analysis *a, struct symbols *s, const struct node *target,
                         void (*found)(struct analysis *, struct symbols *, const struct string *))
{
    if (target->kind == E_NAME)
        found(a, s, target->name);
    else if (target->kind == E_NSREF)
        load(a, s, target->name);
    for (const struct node *child = target->list; child; child = child->next)
        visit_target(a, s, child, found);
}

static void visit_statements(struct analysis *a, struct symbols *s, const struct node *body);

/* What a branch changed, and as what; the scope is as before it. */
struct branch {
    struct change *changes; /* `before` holds the state at the end of the branch */
    size_t n;
};

static struct branch end_branch(struct analysis *a, struct symbols *s, size_t log_begin)
{
    const unsigned mark = ++s->n_branches;
    struct branch branch = {0};
    branch.changes = allocate(a, (s->n_log - log_begin + 1) * sizeof *branch.changes);
    for (size_t i = log_begin; branch.changes && i < s->n_log; i++) {
        struct symbol *symbol = s->log[i].symbol;
        if (symbol->mark != mark)
            branch.changes[branch.n++] = (struct change){symbol, *symbol};
        symbol->mark = mark;
    }
    while (s->n_log > log_begin) {
        const struct change *change = &s->log[--s->n_log];
        change->symbol->is_known = change->before.is_known;
        change->symbol->is_stored = change->before.is_stored;
        change->symbol->is_unset = change->before.is_unset;
    }
    return branch;
}

/* What any branch reads or assigns is known from here on; none of it makes a name undefined. */
static void merge_branch(struct analysis *a, struct symbols *s, const struct branch *branch)
{
    for (size_t k = 0; k < branch->n; k++) {
        struct symbol *symbol = branch->changes[k].symbol;
        const struct symbol *end = &branch->changes[k].before;
        set(a, s, symbol,
            (struct symbol){.is_known = symbol->is_known || end->is_known,
                            .is_stored = symbol->is_stored || end->is_stored,
                            .is_unset = symbol->is_unset});
    }
}

static void visit_branch(struct analysis *a, struct symbols *s, const struct node *body,
                         struct branch *out)
{
    const size_t begin = s->n_log;
    visit_statements(a, s, body);
    *out = end_branch(a, s, begin);
}

/* Three branches, as Jinja has them: the first, all elif together, and else. */
static void visit_if(struct analysis *a, struct symbols *s, const struct node *node)
{
    struct branch branches[3];
    visit_expression(a, s, node->list->a);
    visit_branch(a, s, node->list->list, &branches[0]);
    const size_t begin = s->n_log;
    for (const struct node *elif = node->list->next; elif; elif = elif->next) {
        struct branch inner;
        visit_expression(a, s, elif->a);
        visit_branch(a, s, elif->list, &inner);
        merge_branch(a, s, &inner);
    }
    branches[1] = end_branch(a, s, begin);
    visit_branch(a, s, node->otherwise, &branches[2]);
    for (size_t i = 0; i < NIB_COUNT(branches); i++)
        merge_branch(a, s, &branches[i]);
}

static void visit_statement(struct analysis *a, struct symbols *s, const struct node *node)
{
    switch ((enum node_kind)node->kind) {
    case S_OUTPUT:
    case S_FILTER:
    case S_FOR:
    case S_CALL:
        visit_expression(a, s, node->a);
        break;
    case S_SET:
        visit_expression(a, s, node->a);
        visit_target(a, s, node->target, store);
        break;
    case S_SETBLOCK:
        visit_target(a, s, node->target, store);
        break;
    case S_MACRO:
        store(a, s, node->name);
        break;
    case S_IF:
        visit_if(a, s, node);
        break;
    case S_WITH:
        for (const struct node *param = node->target; param; param = param->next)
            visit_expression(a, s, param->a);
        break;
    case S_PRINT:
        visit_statements(a, s, node->list);
        break;
    default:
        break; /* a scope of its own, or no names */
    }
}

static void visit_statements(struct analysis *a, struct symbols *s, const struct node *body)
{
    for (; body && !a->failed; body = body->next)
        visit_statement(a, s, body);
}

/* ---- all scopes ----------------------------------------------------------------------------- */

static const struct names *unset_names(struct analysis *a, const struct symbols *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_slots; i++)
        n += s->slots[i] && s->slots[i]->is_unset;
    struct names *names = n ? allocate(a, sizeof *names + n * sizeof names->names[0]) : NULL;
    for (size_t i = 0; names && i < s->n_slots; i++) {
        if (s->slots[i] && s->slots[i]->is_unset)
            names->names[names->n++] = s->slots[i]->name;
    }
    return names;
}

static void analyze_inner(struct analysis *a, struct symbols *parent, struct node *body);

/* A scope with parameters already declared in `s`. */
static const struct names *analyze(struct analysis *a, struct symbols *s, struct node *body)
{
    visit_statements(a, s, body);
    const struct names *names = unset_names(a, s);
    analyze_inner(a, s, body);
    return names;
}

static void analyze_for(struct analysis *a, struct symbols *parent, struct node *node)
{
    struct symbols body = {.parent = parent}, otherwise = {.parent = parent};
    declare(a, &body, &nib_tpl_name_loop);
    visit_target(a, &body, node->target, declare);
    node->unset = analyze(a, &body, node->list);
    node->unset_otherwise = analyze(a, &otherwise, node->otherwise);
}

/* Macros, call blocks and with: parameters, their defaults, the body. */
static void analyze_with_params(struct analysis *a, struct symbols *parent, struct node *node)
{
    struct symbols s = {.parent = parent};
    for (const struct node *param = node->target; param; param = param->next) {
        if (param->target)
            visit_target(a, &s, param->target, declare);
        else
            declare(a, &s, param->name);
    }
    for (const struct node *param = node->target; param && node->kind != S_WITH;
         param = param->next)
        visit_expression(a, &s, param->a);
    node->unset = analyze(a, &s, node->list);
}

static void analyze_inner(struct analysis *a, struct symbols *parent, struct node *body)
{
    for (struct node *node = body; node && !a->failed; node = node->next) {
        struct symbols s = {.parent = parent};
        switch ((enum node_kind)node->kind) {
        case S_IF:
            for (struct node *branch = node->list; branch; branch = branch->next)
                analyze_inner(a, parent, branch->list);
            analyze_inner(a, parent, node->otherwise);
            break;
        case S_FOR:
            analyze_for(a, parent, node);
            break;
        case S_MACRO:
        case S_CALL:
        case S_WITH:
            analyze_with_params(a, parent, node);
            break;
        case S_BLOCK:
            s.parent = NULL;
            node->unset = analyze(a, &s, node->list);
            break;
        case S_SCOPE:
        case S_FILTER:
        case S_SETBLOCK:
            node->unset = analyze(a, &s, node->list);
            break;
        default:
            break;
        }
    }
}

bool nib_tpl_find_unset(struct node *root, struct arena *arena)
{
    struct analysis a = {.arena = arena};
    struct symbols s = {0};
    root->unset = analyze(&a, &s, root->list);
    return !a.failed;
}
