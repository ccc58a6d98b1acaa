{# The standard text; only MD5 as a number has another name here. #}
{% set md5_number = ('reinterpretAsUInt64(MD5(', '))') %}
{% include 'fingerprint.sql' %}
