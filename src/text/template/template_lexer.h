/*
 * A template's source as tokens: text, tags and what is inside them.  Whitespace control ("-", "+",
 * trim_blocks, lstrip_blocks) is done here, so the parser sees the text as it will be printed.
 */
#ifndef NIB_TEMPLATE_LEXER_H
#define NIB_TEMPLATE_LEXER_H

#include "template_value.h"

enum token_kind {
    T_ERROR,
    T_END, /* of the template */
    T_DATA,
    T_VARIABLE_BEGIN,
    T_VARIABLE_END,
    T_BLOCK_BEGIN,
    T_BLOCK_END,
    T_NAME,
    T_STRING,
    T_INTEGER,
    T_FLOAT,
    T_ADD,
    T_SUB,
    T_MUL,
    T_POW,
    T_DIV,
    T_FLOORDIV,
    T_MOD,
    T_TILDE,
    T_PIPE,
    T_ASSIGN,
    T_EQ,
    T_NE,
    T_LT,
    T_LE,
    T_GT,
    T_GE,
    T_DOT,
    T_COMMA,
    T_COLON,
    T_SEMICOLON,
    T_LPAREN,
    T_RPAREN,
    T_LBRACKET,
    T_RBRACKET,
    T_LBRACE,
    T_RBRACE,
};

struct token {
    enum token_kind kind;
    unsigned line;
    struct nib_str text; /* a string's is unescaped */
};

enum { NIB_TPL_MAX_BRACKETS = 128 };

struct lexer {
    struct nib_str source; /* newlines are "\n" */
    size_t at;
    unsigned line;
    enum { IN_TEXT, IN_BLOCK, IN_VARIABLE } state;
    bool at_line_start;      /* what was read last ended in a newline */
    enum token_kind pending; /* the tag that opens after the text just given, or T_END */
    char brackets[NIB_TPL_MAX_BRACKETS];
    size_t n_brackets;
    struct arena *arena;
    struct nib_error *err;
};

/* `source` is copied into the arena.  Fails if it is not UTF-8, or too long. */
enum nib_status nib_tpl_lexer_init(struct lexer *lexer, struct nib_str source, struct arena *arena,
                                   struct nib_error *err);
/* T_ERROR: recorded in lexer->err. */
struct token nib_tpl_next_token(struct lexer *lexer);
/* For messages: "'if'", "end of print statement", ... */
const char *nib_tpl_token_name(enum token_kind kind);

#endif
