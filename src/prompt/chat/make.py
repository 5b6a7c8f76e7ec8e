#!/usr/bin/env python3
"""Writes goldens.json: chat templates, written for this test in the style of common models, and what
transformers' apply_chat_template makes of them.

    pip install transformers jinja2
    python make.py
"""
import json
import sys
from datetime import datetime
from pathlib import Path

import transformers
from transformers.utils import chat_template_utils

CHATML = """\
{% for message in messages %}
    {%- if loop.first and message['role'] != 'system' -%}
<|im_start|>system
You are a helpful assistant.<|im_end|>
{% endif %}
<|im_start|>{{ message['role'] }}
{{ message['content'] }}<|im_end|>
{% endfor %}
{% if add_generation_prompt %}
<|im_start|>assistant
{% endif %}
"""

LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set turns = messages %}{% set system = false %}{% endif %}"
    "{% for turn in turns %}"
    "{% if (turn['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant/user/assistant') }}{% endif %}"
    "{% if loop.index0 == 0 and system != false %}"
    "{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + turn['content'] %}"
    "{% else %}{% set content = turn['content'] %}{% endif %}"
    "{% if turn['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif turn['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)

LLAMA3 = """\
{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = strftime_now("%d %b %Y") %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {{- "You have access to the following functions.\\n\\n" }}
    {%- for tool in tools %}
        {{- tool | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {%- if 'tool_calls' in message %}
            {%- if not message.tool_calls | length == 1 %}
                {{- raise_exception("This model only supports single tool-calls at once!") }}
            {%- endif %}
            {%- set call = message.tool_calls[0].function %}
            {{- '{"name": "' + call.name + '", "parameters": ' }}
            {{- call.arguments | tojson }}
            {{- "}" }}
        {%- elif message.content is mapping or message.content is iterable and message.content is not string %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- else %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

MISTRAL = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)

ZEPHYR = """\
{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{% generation %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endgeneration %}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
"""

# namespaces, macros, loop controls, methods of strings and dictionaries, slices from behind, Python's spelling
REASONING = """\
{%- macro said(message) %}
    {%- if message.content is string %}
        {{- message.content }}
    {%- else %}
        {%- for part in message.content %}
            {%- if part.type == 'image' %}{% continue %}{% endif %}
            {{- part.text }}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}
{%- set state = namespace(last=-1, tools=0) %}
{%- for message in messages[::-1] %}
    {%- if message.role == 'user' %}
        {%- set state.last = (messages | length - 1) - loop.index0 %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = said(message).rstrip('\\n') %}
    {%- if message.role.upper() == 'ASSISTANT' and '</think>' in content %}
        {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip() %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- if loop.index0 > state.last %}
            {{- '[thought: ' ~ thought ~ ']' }}
        {%- endif %}
    {%- endif %}
    {{- '<' + message.role + ' n=' ~ loop.index ~ ' last=' }}{{ loop.last }}{{- '>' + content }}
    {%- if message.get('extra') %}
        {%- for key, value in message.extra.items() %}
            {{- '\\n' + key + ': ' }}{{ value }} {{ value | string | length }} {{ value | tojson }}
        {%- endfor %}
    {%- endif %}
    {{- '</' ~ message.role.replace('a', 'A').title() ~ '>\\n' }}
{%- endfor %}
{{- missing }}
{%- if messages[-1].content.startswith(('Hi', 'Ho')) %} starts {%- endif %}
{%- if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}
    {{- '<think>\\n\\n</think>\\n' }}
{%- endif %}
"""

ROUND = [
    {"role": "user", "content": "  ¿Qué tal?  "},
    {"role": "assistant", "content": "Bien, gracias: <b>&amp;</b> 'x' \"y\" 🙂"},
    {"role": "user", "content": "Otra\nlínea"},
]
SYSTEM = [{"role": "system", "content": " Answer briefly. "}] + ROUND
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "El tiempo <hoy>",
            "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"default": 1.0}}},
        },
    }
]
CALLS = [
    {"role": "user", "content": "Will it rain in Málaga?"},
    {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "weather", "arguments": {"place": "Málaga", "days": 2, "exact": True}}}],
    },
    {"role": "tool", "content": {"rain": None, "mm": [0.5, 1e-7]}},
]
THOUGHTS = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Look: "}, {"type": "text", "text": "why?\n\n"}]},
    {"role": "assistant", "content": "<think>\nhm\n</think>\n\nBecause."},
    {"role": "user", "content": "Go on", "extra": {"ok": True, "none": None, "list": [1, 2.0, "it's"], "map": {"a": 1e20}}},
    {"role": "assistant", "content": "<think>more</think>Ho."},
    {"role": "assistant", "content": "Hi there"},
]

CASES = [
    ("chatml", CHATML, [ROUND, SYSTEM], {}),
    ("llama2", LLAMA2, [ROUND, SYSTEM, ROUND[:1] * 2], {}),
    ("llama3", LLAMA3, [ROUND, SYSTEM, CALLS], {}),
    ("llama3", LLAMA3, [CALLS], {"tools": TOOLS, "date_string": "1 Jan 2026"}),
    ("mistral", MISTRAL, [ROUND, SYSTEM], {}),
    ("zephyr", ZEPHYR, [ROUND, SYSTEM], {}),
    ("reasoning", REASONING, [THOUGHTS, ROUND], {"enable_thinking": False}),
]


class Day(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26)


def main():
    chat_template_utils.datetime = Day
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    templates, cases = {}, []
    for name, template, chats, variables in CASES:
        templates[name] = template
        for chat in chats:
            for prompt in (False, True):
                given = {**special, **variables}
                tools = given.pop("tools", None)
                case = {"template": name, "messages": chat, "prompt": prompt, "variables": variables}
                try:
                    rendered, _ = chat_template_utils.render_jinja_template(
                        [chat], tools=tools, chat_template=template, add_generation_prompt=prompt, **given
                    )
                    case["text"] = rendered[0]
                except Exception as error:
                    case["error"] = str(error)
                cases.append(case)
    about = f"transformers {transformers.__version__}, Python {sys.version.split()[0]}, by make.py"
    goldens = {"about": about, "special": special, "templates": templates, "cases": cases}
    path = Path(__file__).with_name("goldens.json")
    path.write_text(json.dumps(goldens, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


main()
